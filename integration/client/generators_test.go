package client_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/netoauth/netoauth/integration/client"
	"github.com/netoauth/netoauth/integration/client/ogen"
)

// labelAPI is what a run asks of a generated client. An answer other than success is an error.
type labelAPI interface {
	create(ctx context.Context, name string, tags []string) (label, error)
	list(ctx context.Context) ([]label, error)
	fetch(ctx context.Context, id string) (label, error)
	remove(ctx context.Context, id string) error
}

// label is an IP label, as each generator has a type of its own.
type label struct {
	ID, Name string
	Tags     []string
}

const network = "192.0.2.0/24" // of each label

// eachGenerator runs test with the client of each generator.
func eachGenerator(t *testing.T, test func(t *testing.T, dial func(url string, doer *http.Client) labelAPI)) {
	t.Run("oapi-codegen", func(t *testing.T) {
		test(t, func(url string, doer *http.Client) labelAPI {
			return oapiLabels{must(client.NewClientWithResponses(url, client.WithHTTPClient(doer)))}
		})
	})
	t.Run("ogen", func(t *testing.T) {
		test(t, func(url string, doer *http.Client) labelAPI {
			return ogenLabels{must(ogen.NewClient(url, ogen.ByTransport{}, ogen.WithClient(doer)))}
		})
	})
}

func must[T any](made T, err error) T {
	if err != nil {
		panic(err)
	}
	return made
}

type oapiLabels struct{ *client.ClientWithResponses }

func (c oapiLabels) create(ctx context.Context, name string, tags []string) (label, error) {
	r, err := c.CreateIPLabelWithResponse(ctx, client.NewIPLabel{Name: name, Cidr: network, Tags: &tags})
	if err != nil || r.JSON201 == nil {
		return label{}, unless(err, "%+v", r)
	}
	return oapiLabel(*r.JSON201), nil
}

func (c oapiLabels) list(ctx context.Context) (all []label, _ error) {
	r, err := c.ListIPLabelsWithResponse(ctx)
	if err != nil || r.JSON200 == nil {
		return nil, unless(err, "%+v", r)
	}
	for _, l := range r.JSON200.Data {
		all = append(all, oapiLabel(l))
	}
	return all, nil
}

func (c oapiLabels) fetch(ctx context.Context, id string) (label, error) {
	r, err := c.GetIPLabelWithResponse(ctx, id)
	if err != nil || r.JSON200 == nil {
		return label{}, unless(err, "%+v", r)
	}
	return oapiLabel(*r.JSON200), nil
}

func (c oapiLabels) remove(ctx context.Context, id string) error {
	r, err := c.DeleteIPLabelWithResponse(ctx, id)
	if err != nil || r.StatusCode() != http.StatusNoContent {
		return unless(err, "%+v", r)
	}
	return nil
}

func oapiLabel(l client.IPLabel) label { return label{l.ID, l.Name, *l.Tags} }

// unless returns err, or where there is none an error about the answer.
func unless(err error, format string, answer any) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("answered "+format, answer)
}

type ogenLabels struct{ *ogen.Client }

func (c ogenLabels) create(ctx context.Context, name string, tags []string) (label, error) {
	return ogenLabel(as[*ogen.IPLabel](c.CreateIPLabel(ctx, &ogen.NewIPLabel{Name: name, Cidr: network, Tags: tags})))
}

func (c ogenLabels) list(ctx context.Context) (all []label, err error) {
	r, err := as[*ogen.IPLabelList](c.ListIPLabels(ctx))
	for _, l := range r.GetData() {
		all = append(all, label{l.ID, l.Name, l.Tags})
	}
	return all, err
}

func (c ogenLabels) fetch(ctx context.Context, id string) (label, error) {
	return ogenLabel(as[*ogen.IPLabel](c.GetIPLabel(ctx, ogen.GetIPLabelParams{ID: id})))
}

func (c ogenLabels) remove(ctx context.Context, id string) error {
	_, err := as[*ogen.Deleted](c.DeleteIPLabel(ctx, ogen.DeleteIPLabelParams{ID: id}))
	return err
}

func ogenLabel(l *ogen.IPLabel, err error) (label, error) {
	if err != nil {
		return label{}, err
	}
	return label{l.ID, l.Name, l.Tags}, nil
}

// as returns the answer of an ogen client, which is one of several types, as the one of success; a zero S with an error.
func as[S any](answer any, err error) (success S, _ error) {
	if err != nil {
		return success, err
	}
	success, ok := answer.(S)
	if !ok {
		return success, fmt.Errorf("answered %T %+v", answer, answer)
	}
	return success, nil
}
