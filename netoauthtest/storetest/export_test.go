package storetest

import (
	"sync"

	"github.com/netoauth/netoauth"
)

// Problems is what Run reports, by check. It needs no testing.T, whose failures would be those of a
// test that expects them, and which does not run subtests in virtual time.
func Problems(open func(owner string) netoauth.Store, cut func()) map[string][]string {
	var mu sync.Mutex
	all := make(map[string][]string)
	tryAll(func(c check) {
		problems := c.problems(open, cut)
		mu.Lock()
		defer mu.Unlock()
		all[c.name] = append(all[c.name], problems...)
	}, cut != nil)
	return all
}
