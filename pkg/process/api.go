package process

import (
	"context"
	"net/http"

	"github.com/leftfold/leftfold/pkg/auth"
	"github.com/leftfold/leftfold/pkg/httpserver"
)

// API is what every service that serves a REST API reads beside Config.
type API struct {
	Addr string `env:"API_ADDR,default=127.0.0.1:8080" desc:"address of the REST API"`
	Auth auth.Config
}

// Handler serves the app's Routes. It lives as long as ctx.
func (a App) Handler(ctx context.Context, p Platform) (http.Handler, error) {
	guard, err := auth.New(ctx, a.API.Auth)
	if err != nil {
		return nil, err
	}
	router := httpserver.NewRouter(p.Log)
	api := httpserver.NewAPI(router)
	guard.Protect(api)
	a.Routes(api)
	return router, nil
}
