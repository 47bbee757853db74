// Package web is what the console looks like: templates, a style sheet, a script and icons, and the structs that the
// templates show. It knows nothing of Outhook's data: package console fills the structs.
//
// A page is a template (templ, whose generated code is committed) around [Page]. It works without the script, which
// adds to it: regions that are read again, times in the viewer's zone, keys. The script runs nothing that stands in a
// page's attributes, so markup that somebody smuggled in would do nothing; and what it inserts passes one policy of
// Trusted Types.
package web
