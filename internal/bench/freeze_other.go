//go:build !unix

package bench

import "errors"

func (p *process) freeze() error { return errors.New("freezing a process: only on Unix") }

func (p *process) thaw() error { return nil }
