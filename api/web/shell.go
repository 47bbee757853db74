package web

import "time"

// Shell is what every page has around it.
type Shell struct {
	Title   string // of the page
	Base    string // of the assets
	Theme   string // light or dark; "": the system's
	Path    string // of the page, with its query: where a form leads back to
	Nav     []NavGroup
	Session Session
	Toast   *Toast // nil: nothing has just been done

	// Product is whose page it is, in the title of the window. "": Outhook.
	Product string

	// Sheet is the path of one more style sheet. "": there is none.
	Sheet string

	// Language is that of the page. "": English.
	Language string

	// Refresh is after how many seconds the page's regions are read again. 0: never.
	Refresh int

	// Alarm is what everybody must know, wherever they are. "": nothing.
	Alarm string
}

// NavGroup is a group of the navigation.
type NavGroup struct {
	Label string // "": the first
	Items []NavItem
}

// NavItem leads to a page.
type NavItem struct {
	Label, Icon, Href string
	Current           bool
	Outside           bool // it leaves the console
}

// Session is who looks. The zero value is nobody.
type Session struct {
	Name, Scope string
	TenantID    string // "": every tenant's
	ExpiresAt   time.Time
}

// Toast says what has just been done.
type Toast struct {
	Tone, Text string
	Undo       *Action // nil: it can't be undone
}

// Action is a button that changes something.
type Action struct {
	ID    string // of its dialog
	Label string
	Icon  string
	Href  string // where it is posted to
	Tone  string // danger, primary or ""
	Title string // of the dialog that asks first; "": nobody is asked
	Text  string // what follows from it, with the object's name
	Input []Input

	Opens bool // Href is a page that is opened: nothing is posted
}

// Input is a field of a form.
type Input struct {
	Name, Label, Type, Value, Placeholder, Help string
	Options                                     []Option // Type select
	Hidden                                      bool
	Required                                    bool
	List                                        string // the id of a datalist; "": none

	// Fault is what is wrong with it, in a [Form]. "": nothing.
	Fault string
}

// Option is one of a select's, or of a Form's check boxes.
type Option struct {
	Value, Label string
	Selected     bool
}

// Crumb leads to a page above.
type Crumb struct{ Label, Href string }

// Problem is what is shown in the place of a page.
type Problem struct {
	Status     int
	Title      string
	Detail     string
	RequestID  string
	RetryAfter int // seconds; 0: not said
	Back       Crumb
}
