package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leftfold/leftfold/pkg/localaws/filestore"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/leftfold/app"
)

// newSnapshot returns the commands that copy the state of an embedded AWS to a file and back.
func newSnapshot(lookup service.Lookup, out io.Writer, withDataDir func(*cobra.Command) *cobra.Command) *cobra.Command {
	snapshot := &cobra.Command{Use: "snapshot", Short: "Copy everything that an embedded AWS keeps to a file, and back"}
	add := func(use, short, long string, do func(ctx context.Context, cfg app.AWSConfig, file string) (string, error)) {
		snapshot.AddCommand(withVariables(withDataDir(&cobra.Command{
			Use: use, Short: short, Long: long, Args: oneFile,
			RunE: func(c *cobra.Command, args []string) error {
				var cfg app.AWSConfig
				if err := service.LoadConfig(lookup, &cfg); err != nil {
					return err
				}
				done, err := do(c.Context(), cfg, args[0])
				if err == nil {
					_, err = fmt.Fprintln(out, done)
				}
				return err
			},
		}), localVariables(&app.AWSConfig{})...))
	}
	add("save <file>", "Copy to a file", `Copy everything that the embedded AWS at AWS_ADDR keeps to a new file: that of
"leftfold run" and "leftfold aws", which go on meanwhile. If none runs there,
copy what DATA_DIR has.`, saveSnapshot)
	add("load <file>", "Make a data directory of a file", `Make DATA_DIR, which must be new or empty, of a file that save has written.
"leftfold run" and "leftfold aws" go on from there.`, loadSnapshot)
	return snapshot
}

func oneFile(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%s takes the name of one file; %[1]s --help says more", c.CommandPath())
	}
	return nil
}

func saveSnapshot(ctx context.Context, cfg app.AWSConfig, file string) (string, error) {
	if _, err := os.Lstat(file); err == nil {
		return "", fmt.Errorf("%s exists already: name another file, or remove it", file)
	}
	part, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".part-*")
	if err != nil {
		return "", fmt.Errorf("save the snapshot: %w", err)
	}
	defer func() { _ = os.Remove(part.Name()) }() // it is not there any more after a success
	err = fetchSnapshot(ctx, cfg.AWSAddr, part)
	from := "the embedded AWS at " + cfg.AWSAddr
	if failed, ok := errors.AsType[*net.OpError](err); ok && failed.Op == "dial" {
		from = cfg.DataDir
		err = copySnapshot(cfg, part)
	}
	if err = errors.Join(err, part.Close()); err != nil {
		return "", fmt.Errorf("save the snapshot: %w", err)
	}
	return fmt.Sprintf("%s has everything of %s", file, from), os.Rename(part.Name(), file)
}

// fetchSnapshot writes the copy that a running AWS makes of itself.
func fetchSnapshot(ctx context.Context, addr string, to io.Writer) error {
	at, err := service.URLAt(addr, "/_localaws/snapshot")
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if err != nil {
		return err
	}
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }() // of a reader
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10)) // as much as there is
		return fmt.Errorf("%s answers %s: %s; set DATA_DIR where it is started", request.URL.Host, answer.Status, strings.TrimSpace(string(text)))
	}
	_, err = io.Copy(to, answer.Body)
	return err
}

func copySnapshot(cfg app.AWSConfig, to io.Writer) error {
	if cfg.DataDir == "" {
		return fmt.Errorf("no embedded AWS runs at %s, and DATA_DIR names no directory: set one of AWS_ADDR and DATA_DIR", cfg.AWSAddr)
	}
	if cfg.BeginsEmpty() {
		return fmt.Errorf("no embedded AWS runs at %s, and DATA_DIR=%s has nothing", cfg.AWSAddr, cfg.DataDir)
	}
	store, err := filestore.Open(cfg.DataDir)
	if err != nil {
		return err
	}
	return errors.Join(store.Snapshot(to), store.Close())
}

func loadSnapshot(_ context.Context, cfg app.AWSConfig, file string) (string, error) {
	if cfg.DataDir == "" {
		return "", errors.New("load the snapshot: set DATA_DIR or --data-dir to the directory to make of it")
	}
	f, err := os.Open(file) //nolint:gosec // the user names it
	if err != nil {
		return "", fmt.Errorf("load the snapshot: %w", err)
	}
	defer func() { _ = f.Close() }() // of a reader
	if err := filestore.Restore(cfg.DataDir, f); err != nil {
		return "", fmt.Errorf("load the snapshot: %w", err)
	}
	return fmt.Sprintf("%s has everything of %s", cfg.DataDir, file), nil
}
