//go:build unix

package session

import (
	"errors"
	"syscall"
)

const nobody = 65534

// becomeNobody gives up root, whom no mode stops.
func becomeNobody() error { return errors.Join(syscall.Setgid(nobody), syscall.Setuid(nobody)) }
