package tokenfile

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strconv"
)

// mounted reports whether path is itself a mount, such as a bind mount of a file: its device is often
// the same as its folder's, and rename(2) says EBUSY only when it is too late. Where the system does
// not tell, it is taken for none.
func mounted(path string) bool {
	folder, err := filepath.Abs(filepath.Dir(path))
	if err == nil {
		folder, err = filepath.EvalSymlinks(folder)
	}
	if err != nil {
		return false
	}
	table, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return false
	}
	defer table.Close()
	path = filepath.Join(folder, filepath.Base(path))
	for lines := bufio.NewScanner(table); lines.Scan(); {
		// The fifth field is the mount point, with \040 for a space (proc_pid_mountinfo(5)).
		if fields := bytes.Fields(lines.Bytes()); len(fields) > 4 && unescaped(fields[4]) == path {
			return true
		}
	}
	return false
}

// unescaped replaces each \ooo by the byte that has this octal number.
func unescaped(field []byte) string {
	var text []byte
	for i := 0; i < len(field); i++ {
		if field[i] == '\\' && i+3 < len(field) {
			if b, err := strconv.ParseUint(string(field[i+1:i+4]), 8, 8); err == nil {
				text = append(text, byte(b))
				i += 3
				continue
			}
		}
		text = append(text, field[i])
	}
	return string(text)
}
