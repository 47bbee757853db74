package svix

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/internal/problem"
)

const (
	secretPrefix = "whsec_"

	// maxGrace is Svix's longest time for which an old secret goes on signing.
	maxGrace = 7 * 24 * 60 * 60
)

// secretOf adds the prefix to a secret, which Svix takes without, too. Others are the API's to judge.
func secretOf(value json.RawMessage) any {
	var secret string
	if json.Unmarshal(value, &secret) != nil {
		return value
	}
	if strings.Contains(secret, "_") { // which is no character of base64
		return secret
	}
	return secretPrefix + secret
}

func getSecret(v *visit) error {
	e, err := v.endpoint()
	if err != nil {
		return err
	}
	var found client.SecretsOutputBody
	if err := v.get(endpointPath(e, "/secret"), nil, &found); err != nil {
		return err
	}
	return v.reply(http.StatusOK, map[string]string{"key": found.Secrets[0].Secret})
}

func rotateSecret(v *visit) error {
	var in struct {
		Key   json.RawMessage `json:"key"`
		Grace *int64          `json:"gracePeriodSeconds"`
	}
	if err := v.decode(&in); err != nil {
		return err
	}
	if in.Grace != nil && (*in.Grace < 0 || *in.Grace > maxGrace) {
		return problem.Invalid("body.gracePeriodSeconds", "must be 0 to 604800")
	}
	e, err := v.endpoint()
	if err != nil {
		return err
	}

	body := map[string]any{}
	if isGiven(in.Key) {
		body["secret"] = secretOf(in.Key)
	}
	if in.Grace != nil {
		body["overlap_seconds"] = in.Grace
	}
	o := order{method: http.MethodPost, path: endpointPath(e, "/rotate-secret"), body: body, key: v.key()}
	if err := v.ask(o, nil); err != nil {
		return err
	}
	return v.done()
}
