package api

import (
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/outhook/outhook/internal/docspage"
	"github.com/outhook/outhook/internal/problem"
)

// complete adds to the document what its readers look for and huma does not write: where the server is, an example of
// each body, and the headers of each answer.
func complete(oapi *huma.OpenAPI) {
	oapi.Servers = []*huma.Server{{URL: "/", Description: "The server that this document comes from"}}
	docspage.TellDefaults(oapi)

	for _, item := range oapi.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op != nil {
				completeOperation(oapi, op)
			}
		}
	}
}

func completeOperation(oapi *huma.OpenAPI, op *huma.Operation) {
	if op.RequestBody != nil {
		for _, media := range op.RequestBody.Content {
			media.Example = docspage.RequestExample(oapi, media.Schema)
		}
	}

	all, _ := op.Metadata[metaCodes].(codes)
	for code, response := range op.Responses {
		status, _ := strconv.Atoi(code)
		docspage.SetHeader(response, "X-Request-Id", huma.TypeString, "The request's id in the server's log.")
		if passing := all.passing(status); passing != "" {
			text := "After how many seconds to repeat the request."
			if passing != all.of(status) {
				text += " Only with " + passing + "."
			}
			docspage.SetHeader(response, "Retry-After", huma.TypeInteger, text)
		}

		for mediaType, media := range response.Content {
			if mediaType == problem.MediaType {
				media.Example = exampleProblem(op, status)
				continue
			}
			media.Example = docspage.AnswerExample(oapi, media.Schema)
		}
	}
}

// exampleProblem is the first of an operation's problems with a status.
func exampleProblem(op *huma.Operation, status int) *problem.Error {
	all, _ := op.Metadata[metaCodes].(codes)
	for _, kind := range problem.Kinds() {
		if kind.Status != status || !all.has(kind.Code) {
			continue
		}
		if kind.Code == problem.InvalidRequest {
			return problem.New(kind.Code, problem.InvalidText, problem.Detail{Location: "body.type", Message: "is required"})
		}
		return problem.New(kind.Code, kind.Doc)
	}
	return problem.New(problem.OfStatus(status), http.StatusText(status))
}
