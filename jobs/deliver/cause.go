package deliver

import "github.com/outhook/outhook/jobs/ledger"

// cause is why a run is given back: a label of its metric, and what its lines in the log are throttled by.
type cause string

const (
	causeLease    cause = ledger.TroubleLease
	causeLoad     cause = ledger.TroubleLoad
	causeSecret   cause = ledger.TroubleSecret
	causeMark     cause = ledger.TroubleMark
	causeNetwork  cause = ledger.TroubleNetwork
	causeTimeout  cause = ledger.TroubleTimeout
	causePanic    cause = ledger.TroublePanic
	causeStop     cause = ledger.HandedOver // the process stops
	causeOvertook cause = "overtook"        // the run is not its job's current one any more
)

// causes lists them all.
func causes() []cause {
	return []cause{
		causeLease, causeLoad, causeSecret, causeMark, causeNetwork, causeTimeout, causePanic, causeStop, causeOvertook,
	}
}

// trouble tells whether the cause is one that somebody has to mend.
func (c cause) trouble() bool { return c != causeStop && c != causeOvertook }
