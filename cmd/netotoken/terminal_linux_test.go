package main

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
	"testing"
	"unsafe"
)

// terminal returns the end of a new terminal at which a program stands. Somebody has typed a line.
func terminal(t *testing.T) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no terminals here: ", err)
	}
	t.Cleanup(func() { master.Close() })
	var unlocked, number int32
	for request, value := range map[uintptr]*int32{syscall.TIOCSPTLCK: &unlocked, syscall.TIOCGPTN: &number} {
		_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), request, uintptr(unsafe.Pointer(value)))
		if errno != 0 {
			t.Fatal(errno)
		}
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	if _, err := master.WriteString("typed\n"); err != nil {
		t.Fatal(err)
	}
	return slave
}

// A terminal would show the password while it is typed.
func TestNetotoken_readsNoPasswordFromATerminal(t *testing.T) {
	srv := newServer(t)
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for name, tt := range map[string]struct {
		stdin *os.File
		says  string
	}{
		"terminal":    {terminal(t), `in a shell: read -rs P && printf '%s\n' "$P" | netotoken -password-stdin`},
		"null device": {null, "no password in the first line"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := newCommand(passwordEnv(srv), "-password-stdin")
			cmd.Stdin = tt.stdin
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			cmd.Run()
			r := result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
			wantResult(t, result{2, "", r.stderr}, r)
			wantOneLine(t, r, tt.says)
		})
	}
}
