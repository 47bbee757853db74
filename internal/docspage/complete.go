package docspage

import (
	"fmt"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// TellDefaults moves the defaults of members into their descriptions: from a default, generators conclude that the
// member is always there, and clients could not leave it out of a request.
func TellDefaults(oapi *huma.OpenAPI) {
	for _, object := range oapi.Components.Schemas.Map() {
		for _, member := range object.Properties {
			if member.Default != nil {
				member.Description += fmt.Sprintf(" Default: %v.", reflect.Indirect(reflect.ValueOf(member.Default)))
				member.Default = nil
			}
		}
	}
}

// SetHeader adds a header to an answer.
func SetHeader(response *huma.Response, name, kind, description string) {
	if response.Headers == nil {
		response.Headers = map[string]*huma.Param{}
	}
	response.Headers[name] = &huma.Param{Description: description, Schema: &huma.Schema{Type: kind}}
}
