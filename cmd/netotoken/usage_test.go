package main

import (
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNetotoken_refusesWrongUsage(t *testing.T) {
	srv := newServer(t)
	key, password := apiKeyEnv(srv), passwordEnv(srv)
	refresh := refreshEnv(t, srv)
	before := count(srv)
	all := []string{"NETOSECRET", "NETO_USERNAME", "NETO_PASSWORD", "NETO_REFRESH_TOKEN"}
	for name, tt := range map[string]struct {
		env  []string
		args []string
		says []string
	}{
		"no credentials":  {nil, nil, all},
		"empty variables": {[]string{"NETOSECRET=", "NETO_USERNAME="}, nil, all},
		"no user name":    {[]string{"NETO_PASSWORD=x"}, nil, []string{"set NETO_USERNAME"}},
		"no password":     {append(refresh, "NETO_USERNAME=ann"), nil, []string{"-password-stdin"}},
		"NETOSECRET broken": {
			[]string{"NETOSECRET=%%hidden%%"}, nil,
			[]string{"NETOSECRET", "base64"},
		},
		"NETOSECRET, part": {[]string{"NETOSECRET=e30"}, nil, []string{"NETOSECRET", "sharedsecret"}},
		"URL over http": {
			append(refresh, "NETO_URL=http://example.com"), nil,
			[]string{"NETO_URL: URL must"},
		},
		"URL not UTF-8": {append(refresh, "NETO_URL=api\xff"), nil, []string{"NETO_URL: URL has"}},
		"password, two lines": {
			append(password, "NETO_PASSWORD=x\n"), nil,
			[]string{"NETO_PASSWORD has a line break"},
		},
		"user name, two lines": {
			append(password, "NETO_USERNAME=a\rb"), nil,
			[]string{"NETO_USERNAME has a line break"},
		},
		"refresh, two lines": {
			append(refresh, "NETO_REFRESH_TOKEN=a\n"), nil,
			[]string{"NETO_REFRESH_TOKEN has a line break"},
		},

		"stdin, no user name": {refresh, []string{"-password-stdin"}, []string{"NETO_USERNAME"}},
		"stdin, empty":        {password, []string{"-password-stdin"}, []string{"standard input"}},
		"stdin, API key":      {key, []string{"-password-stdin"}, []string{"NETOSECRET"}},
		"account, password": {
			password, []string{"-account", "branch"},
			[]string{"-account", "NETOSECRET"},
		},
		"account, refresh": {
			refresh, []string{"-account", "branch"},
			[]string{"-account", "NETOSECRET"},
		},
		"account empty": {key, []string{"-account", ""}, []string{"-account"}},
		"cache empty":   {key, []string{"-cache="}, []string{"-cache"}},
		"format": {
			key, []string{"-format=x"},
			[]string{"-format is token, header, json or jwt"},
		},
		"jwt, password": {
			password, []string{"-format=jwt"},
			[]string{"-format jwt", "set NETOSECRET"},
		},
		"jwt, refresh": {
			refresh, []string{"-format=jwt"},
			[]string{"-format jwt", "set NETOSECRET"},
		},
		"jwt, nothing": {
			nil, []string{"-format=jwt"},
			[]string{"-format jwt", "set NETOSECRET"},
		},
		"jwt, cache": {
			key, []string{"-format=jwt", "-cache=c"},
			[]string{"-format jwt", "-cache"},
		},
		"jwt, demo": {key, []string{"-format=jwt", "-demo"}, []string{"-format", "-demo"}},
		"demo, format": {
			key, []string{"-demo", "-format", "json"},
			[]string{"-demo", "-format"},
		},
		"demo, empty":     {key, []string{"-demo", "-cache="}, []string{"-demo", "-cache"}},
		"renew, no cache": {key, []string{"-renew"}, []string{"-renew needs -cache"}},
		"renew, jwt": {
			key, []string{"-renew", "-cache=c", "-format=jwt"},
			[]string{"-format jwt"},
		},
		"status, no cache":       {key, []string{"-status"}, []string{"-status needs -cache"}},
		"status, no credentials": {nil, []string{"-status", "-cache=c"}, all},
		"status, broken key": {
			[]string{"NETOSECRET=%%hidden%%"}, []string{"-status", "-cache=c"},
			[]string{"base64"},
		},
		"status, renew": {
			key, []string{"-status", "-renew", "-cache=c"},
			[]string{"-renew does not go with -status"},
		},
		"status, format": {
			key, []string{"-status", "-format=json", "-cache=c"},
			[]string{"-format does not go with -status"},
		},
		"status, account": {
			password, []string{"-status", "-account=a", "-cache=c"},
			[]string{"-account", "NETOSECRET"},
		},
		"version, demo": {
			nil, []string{"-version", "-demo"},
			[]string{"-demo does not go with -version"},
		},
		"version, cache": {
			key, []string{"-version", "-cache=c"},
			[]string{"-cache does not go with -version"},
		},
		"version, argument": {nil, []string{"-version", "hidden"}, []string{"arguments"}},
		"timeout negative":  {key, []string{"-timeout", "-1s"}, []string{"-timeout", "positive"}},
		"timeout, number":   {key, []string{"-timeout", "5"}, []string{"-timeout: write 5s"}},
		"timeout, fraction": {key, []string{"-timeout=1.5"}, []string{"-timeout: write 1.5s"}},
		"timeout, word":     {key, []string{"-timeout", "soon"}, []string{"-timeout", "such as 5s"}},
		"unknown flag":      {key, []string{"-password=hidden"}, []string{"-password"}},
		"argument":          {key, []string{"hidden"}, []string{"arguments"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := netotoken(t, tt.env, tt.args...)
			if r.status != 2 || r.stdout != "" {
				t.Errorf("status %d, stdout %q", r.status, r.stdout)
			}
			wantOneLine(t, r, tt.says...)
			wantNoSecret(t, "stderr", r.stderr, srv, tt.env)
			if strings.Contains(r.stderr, "hidden") {
				t.Errorf("stderr repeats what may be a secret: %q", r.stderr)
			}
			wantRequests(t, srv, before)
		})
	}
}

func TestNetotoken_explainsItself(t *testing.T) {
	r := succeed(t, nil, "-h")
	for _, word := range []string{
		"NETOSECRET", "NETO_USERNAME", "NETO_PASSWORD", "NETO_REFRESH_TOKEN", "NETO_URL", "jwt", "pipefail", "15 %",
		"5s", "10s", "1m30s", "FILE.lock", "Exit status", "130",
	} {
		if !strings.Contains(r.stdout, word) {
			t.Errorf("-h does not mention %s", word)
		}
	}
	for line := range strings.Lines(r.stdout) {
		if strings.Contains(line, "\t") || utf8.RuneCountInString(line) > 80+len("\n") {
			t.Errorf("a line of -h has a tab or more than 80 columns: %q", line)
		}
	}
}

// The package comment has what -h prints, as a block of code.
func TestNetotoken_packageCommentIsThatOfTheFlags(t *testing.T) {
	var comment strings.Builder
	for line := range strings.Lines(readFile(t, "doc.go")) {
		comment.WriteString(strings.TrimPrefix(strings.TrimPrefix(line, "//"), "\t"))
	}
	if help := succeed(t, nil, "-h").stdout; !strings.Contains(comment.String(), help) {
		t.Errorf("doc.go does not have this, with // and a tab before each line:\n%s", help)
	}
}

func TestNetotoken_saysItsVersion(t *testing.T) {
	want := runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH + "\n"
	for _, env := range [][]string{nil, {"NETOSECRET=broken"}} {
		r := succeed(t, env, "-version")
		name, version, _ := strings.Cut(r.stdout, " ")
		if name != "netotoken" || !strings.HasSuffix(version, " "+want) || len(strings.Fields(version)) != 3 {
			t.Errorf("version %q", r.stdout)
		}
	}
}
