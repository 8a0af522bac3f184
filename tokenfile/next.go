package tokenfile

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

const reserved = 64 << 10 // bytes on the disk before fn is called, well above what a token takes

// mark is at the end of every file that this package makes at Path.tmp, until that has taken the
// place of the token file. It is white space to JSON: where a program is killed at that moment, the
// token file has it, and is as good.
var mark = []byte("\n" + strings.Repeat(" \t\t ", 8) + "\n")

// clear deletes what a killed program has left at path. It leaves anything else as it is, which is an
// error.
func clear(ctx context.Context, path string) error {
	file, err := open(ctx, path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	end := make([]byte, len(mark))
	info, err := file.Stat()
	if err == nil {
		_, err = file.ReadAt(end, max(0, info.Size()-int64(len(mark))))
	}
	file.Close()
	if err != nil || !bytes.Equal(end, mark) {
		return fmt.Errorf("tokenfile: %q, where new tokens are written first, is none of this package's: "+
			"move it away or choose another file", path)
	}
	if err := patiently(ctx, func() error { return remove(path) }); err != nil {
		return fmt.Errorf("tokenfile: cannot delete %q: %w", path, reason(err))
	}
	return nil
}

// reserve makes the file that is to take the place of the token file, and sees to it that the disk
// has the space for it. Random bytes take that much space also where the file system compresses them.
func reserve(ctx context.Context, path string) (*os.File, error) {
	if err := clear(ctx, path); err != nil {
		return nil, err
	}
	next, err := open(ctx, path, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, err
	}
	space := make([]byte, reserved-len(mark))
	rand.Read(space)
	_, err = next.WriteAt(mark, int64(len(space))) // first, in case that the program is killed
	if err == nil {
		_, err = next.WriteAt(space, 0)
	}
	if err = cmp.Or(err, next.Sync()); err != nil {
		discard(next)
		err = reason(err)
		return nil, fmt.Errorf("tokenfile: cannot write %q: %w: make room or choose another file", path, err)
	}
	return next, nil
}

// replace writes data into next, over what was reserved and before the mark, and gives it the name
// path. The mark comes off last, so that whenever the program is killed it is known at Path.tmp.
func replace(path string, next *os.File, data []byte) error {
	var err error
	content := data
	if room := reserved - len(mark) - len(data); room >= 0 {
		content = append(bytes.Clone(data), bytes.Repeat([]byte(" "), room)...)
	} else {
		_, err = next.WriteAt(mark, int64(len(data)))
	}
	if err == nil {
		_, err = next.WriteAt(content, 0)
	}
	if err = cmp.Or(err, next.Sync()); err != nil {
		return err
	}
	// ctx has no say in what becomes of a token that has been issued.
	err = patiently(context.Background(), func() error { return rename(next.Name(), path) })
	if err != nil {
		return err
	}
	next.Truncate(int64(len(data)))
	next.Sync()
	syncFolder(path)
	return nil
}

// discard closes next and deletes it. Where it has become the token file, there is nothing to delete.
func discard(next *os.File) {
	next.Close()
	patiently(context.Background(), func() error { return remove(next.Name()) })
}
