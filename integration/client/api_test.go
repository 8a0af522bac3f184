package client_test

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"github.com/netoauth/netoauth/integration/client"
	"github.com/netoauth/netoauth/netoauthtest"
)

// resource is a collection of rows R, created from requests N, in memory.
type resource[N, R any] struct {
	row  func(id string, n N) R // the row for n; its name must not be ""
	name func(R) string
	list func([]R) any

	mu   sync.Mutex
	last int
	rows []entry[R]
}

type entry[R any] struct {
	id  string
	row R
}

// serve puts the resource at path, behind the bearer check of srv.
func (r *resource[N, R]) serve(srv *netoauthtest.Server, path string) {
	srv.Handle("GET "+path, r.locked(r.index))
	srv.Handle("POST "+path, r.locked(r.create))
	srv.Handle("GET "+path+"/{id}", r.locked(r.fetch))
	srv.Handle("DELETE "+path+"/{id}", r.locked(r.remove))
}

func (r *resource[N, R]) locked(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		h(w, req)
	})
}

func (r *resource[N, R]) index(w http.ResponseWriter, _ *http.Request) {
	rows := []R{}
	for _, e := range r.rows {
		rows = append(rows, e.row)
	}
	reply(w, http.StatusOK, r.list(rows))
}

func (r *resource[N, R]) create(w http.ResponseWriter, req *http.Request) {
	var n N
	d := json.NewDecoder(req.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&n); err != nil {
		fail(w, http.StatusBadRequest, "the body cannot be read")
		return
	}
	row := r.row(strconv.Itoa(r.last+1), n)
	switch name := r.name(row); {
	case name == "":
		fail(w, http.StatusBadRequest, "name is empty")
	case name == "one too many":
		fail(w, http.StatusInsufficientStorage, "the account is full")
	case slices.ContainsFunc(r.rows, func(e entry[R]) bool { return r.name(e.row) == name }):
		fail(w, http.StatusConflict, "the name is taken")
	default:
		r.last++
		r.rows = append(r.rows, entry[R]{strconv.Itoa(r.last), row})
		reply(w, http.StatusCreated, row)
	}
}

func (r *resource[N, R]) fetch(w http.ResponseWriter, req *http.Request) {
	if i := r.find(req); i >= 0 {
		reply(w, http.StatusOK, r.rows[i].row)
		return
	}
	fail(w, http.StatusNotFound, "no such id")
}

func (r *resource[N, R]) remove(w http.ResponseWriter, req *http.Request) {
	if i := r.find(req); i >= 0 {
		r.rows = slices.Delete(r.rows, i, i+1)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	fail(w, http.StatusNotFound, "no such id")
}

func (r *resource[N, R]) find(req *http.Request) int {
	return slices.IndexFunc(r.rows, func(e entry[R]) bool { return e.id == req.PathValue("id") })
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

func fail(w http.ResponseWriter, status int, message string) {
	reply(w, status, failure(status, message))
}

func failure(status int, message string) *client.Error {
	return &client.Error{Status: int32(status), Name: http.StatusText(status), Message: message}
}

const (
	labelPath  = "/api/v1/labels/ip"
	keyPath    = "/api/v1/apikeys"
	sourcePath = "/api/v1/trafficsources"
)

// serveResources gives srv the three resources, empty.
func serveResources(srv *netoauthtest.Server) {
	(&resource[client.NewIPLabel, client.IPLabel]{
		row: func(id string, n client.NewIPLabel) client.IPLabel {
			return client.IPLabel{ID: id, Name: n.Name, Cidr: n.Cidr, Tags: n.Tags}
		},
		name: func(l client.IPLabel) string { return l.Name },
		list: func(l []client.IPLabel) any { return client.IPLabelList{Data: l} },
	}).serve(srv, labelPath)
	(&resource[client.NewAPIKey, client.APIKey]{
		row: func(id string, n client.NewAPIKey) client.APIKey {
			return client.APIKey{ID: id, Name: n.Name, Description: n.Description}
		},
		name: func(k client.APIKey) string { return k.Name },
		list: func(k []client.APIKey) any { return client.APIKeyList{Data: k} },
	}).serve(srv, keyPath)
	(&resource[client.NewTrafficSource, client.TrafficSource]{
		row: func(id string, n client.NewTrafficSource) client.TrafficSource {
			return client.TrafficSource{ID: id, Name: n.Name, Kind: n.Kind, SampleRate: cmp.Or(n.SampleRate, new(int32(1)))}
		},
		name: func(s client.TrafficSource) string { return s.Name },
		list: func(s []client.TrafficSource) any { return client.TrafficSourceList{Data: s} },
	}).serve(srv, sourcePath)
}
