//go:build !unix

package output

import "os"

func columns(*os.File) int { return 0 }
