package server

import "errors"

var (
	// ErrNoDatabase is returned where a database's URL is empty.
	ErrNoDatabase = errors.New("there is no database URL")

	// ErrDatabaseURL is returned for a database's URL that can't be read. It does not repeat it: the URL holds a password.
	ErrDatabaseURL = errors.New("the database URL is not valid: it must look like " +
		"postgres://user:password@host:5432/database")

	// ErrNoAPIKey is returned by [Server.Run] if the API was to be served and nobody has a key for it: Config.API.APIKey
	// is empty, and the database holds no key that is neither expired nor revoked.
	ErrNoAPIKey = errors.New("there is no API key")
)

// Field names a field of [Config].
type Field string

// The fields that a [FieldError] names.
const (
	FieldListen        Field = "Listen"
	FieldKeyring       Field = "Keyring"
	FieldMetricsListen Field = "Telemetry.MetricsListen"
	FieldOwnerURL      Field = "Database.OwnerURL"
	FieldRetention     Field = "Jobs.Retention"
)

// FieldError is an error of [Server.Run] that another value of one field would cure. What sets that field, like a flag
// or a variable, is known to the edge that set it: it should name it, beside Err.
type FieldError struct {
	// Field is the field.
	Field Field

	// Err is what is wrong with its value.
	Err error
}

// Error names the field and says what is wrong with it.
func (e *FieldError) Error() string { return string(e.Field) + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *FieldError) Unwrap() error { return e.Err }
