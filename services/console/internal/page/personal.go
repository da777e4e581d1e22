package page

import (
	"context"

	"github.com/leftfold/leftfold/pkg/iam/history"
	"github.com/leftfold/leftfold/pkg/service/auth"
)

// Masked stands for what the reader may not see.
const Masked = "•••"

// Mask returns a text that says, or may quote, what an event says: names and addresses of people, perhaps given up long ago. As in the
// history of the REST API, it takes a scope of its own to see that; what others see instead is Masked.
func Mask(ctx context.Context, text string) string {
	if text == "" || auth.May(ctx, history.DataScope) {
		return text
	}
	return Masked
}
