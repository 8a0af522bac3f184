package stores

import (
	"testing"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/netoauthtest/storetest"
)

// Each engine's Store keeps what a Store promises, also where connections break.
func TestStore_passesStoretest(t *testing.T) {
	each(t, engines, func(t *testing.T, s subject) {
		at := s.place(t)
		var cut func()
		if s.engine.start != nil {
			between := newProxy(t, at.Address)
			at.Address, cut = between.address(), between.cut
		}
		storetest.Run(t, func(t *testing.T, owner string) netoauth.Store {
			t.Helper()
			at := at
			at.Owner = owner
			s, end, err := at.open()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { end() })
			return s
		}, cut)
	})
}
