//go:build unix

package fleet

import "syscall"

// ownGroup keeps a terminal's Ctrl-C from a process that is started: it is for this one, which stops the others in order.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
