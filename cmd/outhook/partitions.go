package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs/ledger"
	"github.com/outhook/outhook/migrations"
)

// partitionsConns: one query after the other.
const partitionsConns = 1

type partitionsCmd struct {
	databaseFlags
	retentionFlag

	JSON bool `name:"json" help:"Print one JSON object with every table instead of a line per day."`
}

// partitionDays is the answer of partitions --json.
type partitionDays struct {
	// Ahead is how many days after today exist without a gap; Due how many are older than the retention.
	Ahead int `json:"ahead"`
	Due   int `json:"due"`

	Days []*partitionDay `json:"days"`
}

// partitionDay is one day (UTC) of the log.
type partitionDay struct {
	Day     string `json:"day"`
	AgeDays int    `json:"age_days"`

	// State is kept, due (older than the retention), ahead (in the future), or broken: a table is missing or half
	// detached.
	State string `json:"state"`

	// Payloads is kept, leaving or gone.
	Payloads string           `json:"payloads"`
	Tables   []partitionTable `json:"tables"`
}

// partitionTable is a partition with its sizes in bytes. RowEstimate is the planner's, null if it has none yet.
type partitionTable struct {
	Name          string `json:"name"`
	Parent        string `json:"parent"`
	Attached      bool   `json:"attached"`
	DetachPending bool   `json:"detach_pending"`
	RowEstimate   *int64 `json:"row_estimate"`
	TableBytes    int64  `json:"table_bytes"`
	IndexBytes    int64  `json:"index_bytes"`
	ToastBytes    int64  `json:"toast_bytes"`
}

func (t partitionTable) total() int64 { return t.TableBytes + t.IndexBytes + t.ToastBytes }

// Run prints the days of the log, oldest first.
func (p partitionsCmd) Run(c *command) error {
	pool, err := openPool(c.ctx, p.DatabaseURL, "outhook partitions", partitionsConns)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := migrations.Check(c.ctx, pool); err != nil {
		return err
	}

	today, err := db.New().GetDay(c.ctx, pool)
	if err != nil {
		return fmt.Errorf("reading the database's day: %w", err)
	}

	rows, err := db.New().ListPartitionSizes(c.ctx, pool)
	if err != nil {
		return fmt.Errorf("reading the partitions: %w", err)
	}

	list := newPartitionDays(rows, today, time.Duration(p.Retention))
	if p.JSON {
		encoder := json.NewEncoder(c.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(list)
	}
	return list.print(c)
}

// newPartitionDays groups partitions, which come by day, and judges each day.
func newPartitionDays(rows []db.ListPartitionSizesRow, today time.Time, retention time.Duration) *partitionDays {
	list := &partitionDays{Days: []*partitionDay{}}
	var last *partitionDay
	for _, r := range rows {
		at, err := time.Parse("20060102", r.Name[len(r.Parent)+len("_p"):])
		if err != nil {
			continue // a table that only looks like a partition
		}

		if day := at.Format(time.DateOnly); last == nil || last.Day != day {
			last = &partitionDay{Day: day, AgeDays: int(today.Sub(at) / ledger.Day), Payloads: "kept"}
			list.Days = append(list.Days, last)
		}

		t := partitionTable{
			Name: r.Name, Parent: r.Parent, Attached: r.Attached, DetachPending: r.DetachPending,
			TableBytes: r.TableBytes, IndexBytes: r.IndexBytes, ToastBytes: r.ToastBytes,
		}
		if r.RowEstimate >= 0 {
			t.RowEstimate = &r.RowEstimate
		}

		switch {
		case r.PayloadStep == ledger.PayloadsGone:
			last.Payloads = "gone"
		case r.PayloadStep >= 0:
			last.Payloads = "leaving"
		}

		last.Tables = append(last.Tables, t)
	}

	for _, d := range list.Days {
		d.judge(int(retention / ledger.Day))
		switch {
		case d.State == "due":
			list.Due++
		case d.State == "ahead" && d.AgeDays == -list.Ahead-1:
			list.Ahead++
		}
	}

	return list
}

func (d *partitionDay) judge(retentionDays int) {
	whole := len(d.Tables) == 3
	for _, t := range d.Tables {
		whole = whole && t.Attached && !t.DetachPending
	}

	switch {
	case d.AgeDays > retentionDays:
		d.State = "due"
	case !whole:
		d.State = "broken"
	case d.AgeDays < 0:
		d.State = "ahead"
	default:
		d.State = "kept"
	}
}

// print writes a line per day; of those ahead, only how many there are.
func (l *partitionDays) print(c *command) error {
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(w, "DAY\tAGE\tSTATE\tPAYLOADS\tEVENTS\tDELIVERIES\tATTEMPTS\tTABLE\tINDEX\tTOAST\tTOTAL\t")

	var total int64
	for _, d := range l.Days {
		rows := map[string]string{}
		var sum partitionTable
		for _, t := range d.Tables {
			rows[t.Parent] = "?"
			if t.RowEstimate != nil {
				rows[t.Parent] = humanize.Comma(*t.RowEstimate)
			}
			sum.TableBytes += t.TableBytes
			sum.IndexBytes += t.IndexBytes
			sum.ToastBytes += t.ToastBytes
		}

		total += sum.total()
		if d.State == "ahead" {
			continue
		}

		_, _ = fmt.Fprintf(w, "%s\t%dd\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", d.Day, d.AgeDays, d.State, d.Payloads,
			rows["events"], rows["deliveries"], rows["delivery_attempts"],
			size(sum.TableBytes), size(sum.IndexBytes), size(sum.ToastBytes), size(sum.total()))
	}

	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	c.printf("%d days ahead, %d due, %s in all; rows are the planner's estimates\n", l.Ahead, l.Due, size(total))
	return nil
}

func size(bytes int64) string { return humanize.IBytes(uint64(max(bytes, 0))) }
