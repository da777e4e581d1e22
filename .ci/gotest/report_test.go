package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// told returns what is printed about events of go test -json, one a line; "beat" lets 20 s pass, "again" asks what to
// run again.
func told(t *testing.T, packages int, events string) (text string, passed bool) {
	t.Helper()
	var out strings.Builder
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := newReport(&out, func() time.Time { return now }, packages)
	for line := range strings.Lines(strings.TrimSpace(events)) {
		switch strings.TrimSpace(line) {
		case "":
			continue
		case "beat":
			now = now.Add(beat)
			r.beat()
			continue
		case "again":
			_, _ = fmt.Fprintln(&out, "again", r.again())
			continue
		}
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(line, err)
		}
		r.take(e)
	}
	passed = r.end()
	return out.String(), passed
}

func equal(t *testing.T, want, got string) {
	t.Helper()
	if want, got = strings.TrimSpace(want), strings.TrimSpace(got); want != got {
		t.Errorf("want:\n%s\ngot:\n%s", want, got)
	}
}

func TestPackagesAreCountedAndSilenceIsExplained(t *testing.T) {
	t.Parallel()
	got, passed := told(t, 2, `
{"Action":"start","Package":"a"}
beat
{"Action":"run","Package":"a","Test":"TestOne"}
{"Action":"output","Package":"a","Test":"TestOne","Output":"    a_test.go:1: noise\n"}
beat
{"Action":"run","Package":"a","Test":"TestOne/sub"}
{"Action":"run","Package":"a","Test":"TestTwo"}
{"Action":"pause","Package":"a","Test":"TestTwo"}
beat
{"Action":"pass","Package":"a","Test":"TestOne/sub"}
{"Action":"pass","Package":"a","Test":"TestOne"}
{"Action":"pass","Package":"a","Test":"TestTwo"}
{"Action":"output","Package":"a","Output":"PASS\n"}
{"Action":"output","Package":"a","Output":"ok  \ta\t0.004s\n"}
{"Action":"pass","Package":"a"}
{"Action":"start","Package":"b"}
{"Action":"output","Package":"b","Output":"ok  \tb\t(cached)\n"}
{"Action":"skip","Package":"b","Test":"TestTwo"}
{"Action":"pass","Package":"b"}`)
	equal(t, `
    0 of 2 packages after 20s; running: go compiles
    0 of 2 packages after 40s; running: a TestOne for 20s
    0 of 2 packages after 1m0s; running: a TestOne/sub for 20s
ok  	a	0.004s	[1 of 2]
ok  	b	(cached)	[2 of 2]

2 of 2 packages in 1m0s: 3 tests passed, 1 were skipped, 0 failed`, got)
	if !passed {
		t.Error("all passed")
	}
}

func TestWhatFailedComesLast(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct{ events, last string }{
		"an assertion": {`
{"Action":"start","Package":"a"}
{"Action":"run","Package":"a","Test":"TestOne"}
{"Action":"run","Package":"a","Test":"TestOne/sub"}
{"Action":"output","Package":"a","Test":"TestOne/sub","Output":"    a_test.go:7: seed 1\n"}
{"Action":"output","Package":"a","Test":"TestOne/sub","Output":"    a_test.go:9: \n"}
{"Action":"output","Package":"a","Test":"TestOne/sub","Output":"        \tError Trace:\t/x/a_test.go:9\n"}
{"Action":"output","Package":"a","Test":"TestOne/sub","Output":"        \tError:      \tNot equal: \n"}
{"Action":"output","Package":"a","Test":"TestOne/sub","Output":"        \t            \texpected: 1\n"}
{"Action":"output","Package":"a","Test":"TestOne/sub","Output":"        \t            \tactual  : 2\n"}
{"Action":"output","Package":"a","Test":"TestOne/sub","Output":"        \tTest:       \tTestOne/sub\n"}
{"Action":"output","Package":"a","Test":"TestOne/sub","Output":"        \tMessages:   \tof users\n"}
{"Action":"fail","Package":"a","Test":"TestOne/sub"}
{"Action":"fail","Package":"a","Test":"TestOne"}
{"Action":"output","Package":"a","Output":"FAIL\ta\t0.004s\n"}
{"Action":"fail","Package":"a"}`, "FAIL: a TestOne/sub: a_test.go:9: Not equal: expected: 1 actual  : 2 of users"},
		"a crash": {`
{"Action":"start","Package":"a"}
{"Action":"run","Package":"a","Test":"TestOne"}
{"Action":"output","Package":"a","Test":"TestOne","Output":"panic: deadlock: all goroutines in bubble are blocked\n"}
{"Action":"output","Package":"a","Output":"FAIL\ta\t0.004s\n"}
{"Action":"fail","Package":"a"}`, "FAIL: a while TestOne ran: panic: deadlock: all goroutines in bubble are blocked"},
		"a crash whose words stand under a test that has ended": {`
{"Action":"start","Package":"a"}
{"Action":"run","Package":"a","Test":"TestOne"}
{"Action":"run","Package":"a","Test":"TestTwo"}
{"Action":"output","Package":"a","Test":"TestTwo","Output":"    a_test.go:7: noise\n"}
{"Action":"pass","Package":"a","Test":"TestTwo"}
{"Action":"output","Package":"a","Test":"TestTwo","Output":"signal: killed\n"}
{"Action":"output","Package":"a","Output":"FAIL\ta\t0.004s\n"}
{"Action":"fail","Package":"a"}`, "FAIL: a while TestOne ran: signal: killed"},
		"a compiler": {`
{"Action":"build-output","ImportPath":"a","Output":"a/a_test.go:3:7: undefined: x\n"}
{"Action":"start","Package":"a"}
{"Action":"output","Package":"a","Output":"FAIL\ta [build failed]\n"}
{"Action":"fail","Package":"a"}`, "FAIL: a: a/a_test.go:3:7: undefined: x"},
		"a test that never ends": {`
{"Action":"start","Package":"a"}
{"Action":"run","Package":"a","Test":"TestOne"}
{"Action":"output","Package":"a","Test":"TestOne","Output":"    a_test.go:7: half way\n"}`, "FAIL: a TestOne: a_test.go:7: half way"},
	} {
		got, passed := told(t, 1, c.events)
		if passed {
			t.Errorf("%s: passed", what)
		}
		if !strings.HasSuffix(strings.TrimSpace(got), c.last) {
			t.Errorf("%s: want %q last, got:\n%s", what, c.last, got)
		}
	}
}

// crash is how a process ends in the race detector.
const crash = `
{"Action":"start","Package":"a"}
{"Action":"run","Package":"a","Test":"TestOne"}
{"Action":"output","Package":"a","Test":"TestOne","Output":"SIGSEGV: segmentation violation\n"}
{"Action":"output","Package":"a","Test":"TestOne","Output":"PC=0x41bce9 m=0 sigcode=1 addr=0x0\n"}
{"Action":"output","Package":"a","Test":"TestOne","Output":"goroutine 0 gp=0x7d5420 m=0 mp=0x7d6420 [idle]:\n"}
{"Action":"output","Package":"a","Output":"FAIL\ta\t0.004s\n"}
{"Action":"fail","Package":"a"}
again`

func TestAPackageIsRunOnceMoreIfTheRaceDetectorCrashed(t *testing.T) {
	t.Parallel()
	const ok = `
{"Action":"start","Package":"a"}
{"Action":"run","Package":"a","Test":"TestOne"}
{"Action":"pass","Package":"a","Test":"TestOne"}
{"Action":"output","Package":"a","Output":"ok  \ta\t0.004s\n"}
{"Action":"pass","Package":"a"}
again`
	got, passed := told(t, 1, crash+ok)
	if !passed {
		t.Error("the second run passed")
	}
	equal(t, `
FAIL	a	0.004s	[1 of 1]
=== a while TestOne ran: the race detector itself has crashed (https://go.dev/issue/78156): once more
again [a]
ok  	a	0.004s	[1 of 1]
again []

1 of 1 packages in 0s: 1 tests passed, 0 were skipped, 0 failed`, got)
	if got, passed := told(t, 1, crash+crash); passed || !strings.Contains(got, "FAIL: a while TestOne ran: SIGSEGV") {
		t.Errorf("two crashes are a failure, got:\n%s", got)
	}
	failed := strings.Replace(crash, `"run"`, `"fail"`, 1)
	if got, passed := told(t, 1, failed); passed || !strings.Contains(got, "again []") {
		t.Errorf("a test that failed stays failed, got:\n%s", got)
	}
}
