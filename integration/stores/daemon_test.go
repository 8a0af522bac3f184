package stores

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	nobody   = 65534 // PostgreSQL and MariaDB do not run as root
	hostOnly = "127.0.0.1"
)

// daemon is a server that the tests have started, in a folder of its own.
type daemon struct {
	dir  string
	port int
	cmd  *exec.Cmd
	log  *bytes.Buffer

	program string // the server's, and its arguments
	args    []string
	ready   func() error   // reports whether it serves
	stop    syscall.Signal // which it ends for in order
}

func (d *daemon) address() string { return net.JoinHostPort(hostOnly, strconv.Itoa(d.port)) }

// newDaemon makes the folder, and finds a port. remove is for the end.
func newDaemon(t testing.TB, name string) (d *daemon, remove func()) {
	t.Helper()
	dir, err := os.MkdirTemp("", name) // open to nobody, as t.TempDir is not
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, owner(), owner()); err != nil {
		t.Fatal(err)
	}
	return &daemon{dir: dir, port: freePort(t)}, func() { os.RemoveAll(dir) }
}

// freePort returns a port below those that a system gives to whoever asks for any, so that it is free
// still when the server asks for it.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 10000 + rand.N(20000)
		listener, err := net.Listen("tcp", net.JoinHostPort(hostOnly, strconv.Itoa(port)))
		if err == nil {
			listener.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// owner is the user of the servers.
func owner() int {
	if os.Geteuid() == 0 {
		return nobody
	}
	return os.Geteuid()
}

func command(dir, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "TMPDIR="+dir, "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	return cmd
}

// run runs a program to its end.
func run(t testing.TB, dir, name string, args ...string) {
	t.Helper()
	if out, err := command(dir, name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
}

// start starts the server and waits until it serves.
func (d *daemon) start(t testing.TB) {
	t.Helper()
	d.log = new(bytes.Buffer)
	d.cmd = command(d.dir, d.program, d.args...)
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !within(time.Minute, func() bool { return d.ready() == nil }) {
		err := d.ready()
		d.end()
		t.Fatalf("%s does not serve: %v: %s", d.program, err, d.log)
	}
}

// restart ends the server in order, and returns what starts it again.
func (d *daemon) restart(t testing.TB) (again func()) {
	d.cmd.Process.Signal(d.stop)
	killed := time.AfterFunc(10*time.Second, func() { d.cmd.Process.Kill() })
	d.cmd.Wait()
	killed.Stop()
	return func() { d.start(t) }
}

func (d *daemon) end() {
	d.signal(syscall.SIGCONT)
	if filepath.Base(d.program) != "postgres" {
		d.cmd.Process.Kill()
	}
	d.cmd.Process.Signal(syscall.SIGQUIT) // with which PostgreSQL ends its other processes, too
	d.cmd.Wait()
}

// signal sends a signal to the server and to all of its processes.
func (d *daemon) signal(s syscall.Signal) {
	pid := d.cmd.Process.Pid
	syscall.Kill(pid, s) // first, so that it starts no other
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		text, _ := os.ReadFile(stat)
		var child, parent int
		var state string
		open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
		if open < 0 || end < open {
			continue // it has ended
		}
		fmt.Sscan(string(text[:open]), &child)
		fmt.Sscan(string(text[end+1:]), &state, &parent)
		if parent == pid {
			syscall.Kill(child, s)
		}
	}
}

// binary finds a server's program, whose tests are skipped where there is none, but not in CI.
func binary(t testing.TB, patterns ...string) string {
	t.Helper()
	for _, pattern := range patterns {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return found[len(found)-1]
		}
	}
	text := fmt.Sprintf("no %s here: run integration/stores/install as root", strings.Join(patterns, ", "))
	if os.Getenv("CI") != "" {
		t.Fatal(text)
	}
	t.Skip(text)
	return ""
}

// atEnd are the ends of servers that several tests use, for TestMain.
var atEnd struct {
	sync.Mutex
	all []func()
}

func endShared() {
	atEnd.Lock()
	defer atEnd.Unlock()
	for _, end := range atEnd.all {
		end()
	}
}
