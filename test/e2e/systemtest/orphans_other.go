//go:build !linux

package systemtest

import "syscall"

// dieWithParent does nothing where the kernel offers no such thing.
func dieWithParent() *syscall.SysProcAttr { return nil }
