package ledger

// Reasons that deliveries.reason may hold. For people and reports; the API documents them.
const (
	ReasonExhausted        = "exhausted"         // failed: the retry schedule is used up
	ReasonGone             = "gone"              // failed: the endpoint answered 410
	ReasonLoop             = "loop"              // failed: it leads to an API of Outhook, or too many webhooks led to it
	ReasonWorkerDied       = "worker_died"       // failed: ten workers in a row died while they worked it
	ReasonEndpointDisabled = "endpoint_disabled" // cancelled
	ReasonEndpointDeleted  = "endpoint_deleted"  // cancelled
	ReasonExpired          = "expired"           // cancelled: it was pending at the end of the retention
	ReasonErased           = "erased"            // cancelled: the tenant's data was erased
	ReasonPayloadGone      = "payload_gone"      // cancelled: the payload was erased before it was delivered
	ReasonWithdrawn        = "withdrawn"         // cancelled: its event was taken back before its publisher's time
	ReasonOperator         = "operator"          // cancelled by a person, through the API or River UI
)

// HeaderLoop marks the API's refusal of a delivery. By it a worker knows that the endpoint leads to an API of Outhook,
// whatever stands in between: an address alone tells it only of the servers of its own process.
const HeaderLoop = "outhook-loop"

// Why a run of which nothing left is given back by trouble of ours: a label of a metric, and noted with the job as
// "late".
const (
	TroubleLease   = "lease"   // its process may be taken for dead
	TroubleLoad    = "load"    // the database does not say what to send
	TroubleSecret  = "secret"  // what signs, or a secret header, can't be decrypted
	TroubleMark    = "mark"    // the database does not take the note that a dangerous delivery begins
	TroubleNetwork = "network" // its machine lets no request leave
	TroubleTimeout = "timeout" // its time was over before anything left
	TroublePanic   = "panic"   // it panicked
)

// HandedOver is noted in its place by a process that stops.
const HandedOver = "stop"
