package api

import (
	"github.com/google/uuid"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/cursor"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/strictjson"
)

// DecodeBatch reads the body of POST /api/events/batch.
func DecodeBatch(body []byte, maxPayloadBytes int) ([]outhook.Event, error) {
	return (&Server{cfg: Config{Limits: Limits{MaxPayloadBytes: maxPayloadBytes}}}).decodeBatch(body, "")
}

// endpointDecoder returns what reads bodies of endpoints and has no database.
func endpointDecoder(checkURL func(string) error) *Server {
	cfg := DefaultConfig()
	cfg.Checks.URL = checkURL
	return &Server{cfg: cfg}
}

// DecodeNewEndpoint reads the body of POST /api/endpoints, into the row that would be stored.
func DecodeNewEndpoint(body []byte, checkURL func(string) error) (db.Endpoint, error) {
	object, err := strictjson.ParseObject(body)
	if err != nil {
		return db.Endpoint{}, err
	}
	e := endpointDecoder(checkURL).newEdit("body")
	e.decodeNew(object, "")
	return e.row, e.faults.Problem(problem.InvalidRequest)
}

// DecodeEndpointChange reads the body of PATCH /api/endpoints/{id}.
func DecodeEndpointChange(body []byte, row db.Endpoint, checkURL func(string) error) (db.Endpoint, error) {
	e, err := endpointDecoder(checkURL).decodeChange(body, row)
	if err != nil {
		return db.Endpoint{}, err
	}
	return e.row, nil
}

// DecodeReplay reads the body of a replay.
func DecodeReplay(body []byte) (now bool, err error) {
	how, err := decodeReplay(body)
	return how.Now, err
}

// DecodeCursor reads a cursor of n ids of a list without a tag, and EncodeCursor writes it.
func DecodeCursor(text string, n int) ([]uuid.UUID, error) {
	return (&paging{cursor: text}).decodeCursor(n)
}

// EncodeCursor writes a cursor.
func EncodeCursor(ids []uuid.UUID) string { return cursor.List{}.Encode(ids...) }
