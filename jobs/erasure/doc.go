// Package erasure erases a tenant's data: in a first pass what is there, in a second what was under way meanwhile.
package erasure
