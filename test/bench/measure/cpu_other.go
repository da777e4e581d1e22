//go:build !unix

package measure

import (
	"errors"
	"time"
)

func ownCPU() (time.Duration, error) { return 0, errors.ErrUnsupported }
