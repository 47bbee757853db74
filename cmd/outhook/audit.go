package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/user"
	"strings"

	"github.com/outhook/outhook/db"
)

// auditCommand writes what this command does: in the transaction of the change, or, if that takes many, before the
// first of them.
func auditCommand(ctx context.Context, conn db.DBTX, p db.InsertAuditEntryParams, detail map[string]any) error {
	encoded, err := json.Marshal(detail)
	if err != nil {
		return fmt.Errorf("encoding the detail of %s: %w", p.Action, err)
	}

	p.Actor, p.Detail = commandLineActor(), encoded
	if err := db.New().InsertAuditEntry(ctx, conn, p); err != nil {
		return fmt.Errorf("writing the audit trail: %w", err)
	}
	return nil
}

// auditUpkeep writes that this command works on the whole database, which is nobody's in particular.
func auditUpkeep(ctx context.Context, conn db.DBTX, action string, detail map[string]any) error {
	p := db.InsertAuditEntryParams{Action: action, ObjectType: "database", ObjectID: "outhook"}
	return auditCommand(ctx, conn, p, detail)
}

// commandLineActor names who runs this command, as far as the system tells.
func commandLineActor() string {
	name, host := "unknown", "unknown"

	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		host = h
	}

	return strings.ToValidUTF8("command line: "+name+"@"+host, "?")
}
