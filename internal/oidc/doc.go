// Package oidc logs people in with OpenID Connect: an identity provider says who somebody is and in which groups, and a
// [Role] what a group may do here.
//
// It is the code flow with PKCE. [Provider.Begin] leads a browser to the provider, and [Provider.Finish] takes what it
// comes back with. What ties the two is the browser's own [Login], a cookie: no state is kept here, so the process that
// finishes a login need not be the one that began it.
//
// The provider is found when the first person logs in: one that is away stops no start. Its URLs are the operator's, so
// they may be private addresses; redirects, answers and time are bounded.
package oidc
