package portal

import (
	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
)

// trial is what came of a test.
type trial struct {
	attempt *web.Attempt // nil: there was none
	passed  bool
	fault   string // why there was none
}

// try sends an endpoint a test.
func (v *visit) try(id string) (trial, error) {
	tested, err := v.api.TestEndpoint(v.ctx(), id, client.TestEndpointParams{})
	if refused, ok := pages.AsRefusal(err); ok {
		return trial{fault: v.t(pages.Sentence(refused.Detail))}, nil
	}
	if err != nil {
		return trial{}, err
	}

	a := v.told(pages.NewTested(tested, "/portal/events/"+tested.EventID))
	return trial{attempt: &a, passed: tested.Outcome == succeeded}, nil
}

// tryUnused is try of an endpoint that is used from now on if it answers, and else waits.
func (v *visit) tryUnused(id string) (t trial, err error) {
	if t, err = v.try(id); err == nil && !t.passed {
		err = v.change(id, paused)
	}
	return t, err
}

func (v *visit) showTrial(t trial, secrets []web.Secret, note string) error {
	page, err := v.endpointPage()
	if err != nil {
		return err
	}
	page.Tested, page.TestPassed, page.TestFault = t.attempt, t.passed, t.fault
	page.Secrets, page.SecretNote = secrets, note
	return v.show(web.PortalEndpointPage(v.shell(page.URL), page))
}

// testEndpoint shows what came of the test above the endpoint's page. One that waits for its first answer is used once
// that is there.
func testEndpoint(v *visit) error {
	e, err := v.api.GetEndpoint(v.ctx(), v.PathValue("endpoint"), client.GetEndpointParams{})
	if err != nil {
		return err
	}

	var t trial
	if isUntested(e) && v.can(test) {
		if err := v.change(e.ID, enabled); err != nil {
			return err
		}
		t, err = v.tryUnused(e.ID)
	} else {
		t, err = v.try(e.ID)
	}
	if err != nil {
		return err
	}
	return v.showTrial(t, nil, "")
}
