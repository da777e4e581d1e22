//go:build !windows

package service

import "syscall"

const (
	errPortInUse = syscall.EADDRINUSE
	whoHasPort   = "lsof -i :"
)
