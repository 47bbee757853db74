package web

// Overview is what goes on now.
type Overview struct {
	Tenant  string // "": all
	Tiles   []Tile
	Charts  *Activity // nil: not known
	Trouble []EndpointRow
	Failed  []DeliveryRow
	Workers *Workforce // nil: not for this session

	Notice, TroubleNotice, FailedNotice, WorkersNotice string // why something is missing; "": it is not
}

// Tile is a number and what it is.
type Tile struct{ Label, Value, Note, Tone, Href string }

// Workforce is who works.
type Workforce struct {
	Workers []WorkerRow
	Queues  []QueueRow
	Paused  []string
}

// WorkerRow is a worker process.
type WorkerRow struct {
	ID      string
	Since   string // "": it is gone
	Running int
}

// QueueRow is a queue.
type QueueRow struct {
	Name                string
	Due, Later, Running int
	Oldest              string // for how long the oldest has been due; "": nothing is
}

// overviewCrumbs leads back from the overview of a tenant.
func overviewCrumbs(v Overview) []Crumb {
	if v.Tenant == "" {
		return nil
	}
	return []Crumb{{"Overview", "/console"}}
}
