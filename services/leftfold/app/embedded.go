package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/leftfold/leftfold/pkg/iam/provision"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/localaws/filestore"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// embedded is an embedded AWS with the product's tables, stream and queues.
type embedded struct {
	*localaws.Server

	store *filestore.Store // nil if everything is in memory
}

// holdReads makes idle shard readers wait in the embedded AWS instead of asking it every STREAM_POLL.
const holdReads = time.Second

// newEmbedded returns the embedded AWS. The caller must call closed once it is not used any more.
func newEmbedded(ctx context.Context, cfg AWSConfig) (*embedded, error) {
	e, options := &embedded{}, localaws.Options{Region: cfg.Region, HoldReads: holdReads}
	if cfg.DataDir == "" {
		e.Server = localaws.New(options)
	} else {
		var err error
		if e.store, err = filestore.Open(cfg.DataDir); err != nil {
			return nil, fmt.Errorf("DATA_DIR=%s: %w", cfg.DataDir, err)
		}
		if e.Server, err = localaws.Open(e.store, options); err != nil {
			return nil, e.closed(fmt.Errorf("DATA_DIR=%s: %w", cfg.DataDir, err))
		}
	}
	if err := provision.Run(ctx, e.Config(), provision.Config{Names: cfg.Names}); err != nil {
		return nil, e.closed(err)
	}
	return e, nil
}

// closed releases the data directory, and returns the error of what was done before together with its own.
func (e *embedded) closed(err error) error {
	if e.store == nil {
		return err
	}
	return errors.Join(err, e.store.Close())
}

func (e *embedded) endpoint(cfg AWSConfig) service.Endpoint {
	return service.Endpoint{
		Name: "aws", Variable: "AWS_ADDR", Addr: cfg.AWSAddr, Handler: e.handler(),
		HTTP:             httpapi.Config{WriteTimeout: 7 * time.Minute}, // a subscription to a shard of Kinesis lasts for 5
		UnencryptedHTTP2: true,                                          // the SDKs for Java and JavaScript speak it with Kinesis
		Parts: []service.Part{{Name: "long polls", Run: func(ctx context.Context) error {
			<-ctx.Done()
			e.Close() // ends the long polls of outside clients, which a stop would wait for
			return nil
		}}},
	}
}

// handler serves the AWS and, beside the AWS's own routes, the profiles of the process.
func (e *embedded) handler() http.Handler {
	const own = "/_localaws"
	profiles := http.StripPrefix(own, http.HandlerFunc(service.Profile))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, own+service.ProfilePath) {
			profiles.ServeHTTP(w, r)
			return
		}
		e.ServeHTTP(w, r)
	})
}
