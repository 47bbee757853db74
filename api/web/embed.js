// <outhook-portal session-url="/webhook-portal"> shows the portal. session-url is yours: it answers a POST with {"url": …}, which
// POST /api/portal-sessions made for whoever is logged in. Once a session has ended, it is asked again.
class OuthookPortal extends HTMLElement {
  #frame = document.createElement('iframe');
  #origin = null;
  #asked = 0;

  connectedCallback() {
    this.#frame.title = this.getAttribute('title') ?? 'Webhooks';
    this.#frame.allow = 'clipboard-write';
    Object.assign(this.#frame.style, { display: 'block', width: '100%', height: '40rem', border: '0' });
    this.append(this.#frame);
    addEventListener('message', this.#hear);
    this.renew();
  }

  disconnectedCallback() {
    removeEventListener('message', this.#hear);
    this.#frame.remove();
  }

  // renew asks for a link. What goes wrong is told as an event "error".
  async renew() {
    this.#asked = Date.now();
    try {
      const response = await fetch(this.getAttribute('session-url'), { method: 'POST', credentials: 'same-origin' });
      if (!response.ok) throw new Error(`${this.getAttribute('session-url')} answers ${response.status}`);
      const url = new URL((await response.json()).url);
      this.#origin = url.origin;
      this.#frame.src = url.href;
    } catch (error) {
      this.dispatchEvent(new CustomEvent('error', { detail: error }));
    }
  }

  #hear = ({ source, origin, data }) => {
    if (source !== this.#frame.contentWindow || origin !== this.#origin) return;
    if (data?.type === 'outhook:height') this.#frame.style.height = `${data.height}px`;
    if (data?.type !== 'outhook:session-expired') return;
    const goesOn = this.dispatchEvent(new CustomEvent('session-expired', { cancelable: true }));
    if (goesOn && Date.now() - this.#asked > 10_000) this.renew();
  };
}
customElements.define('outhook-portal', OuthookPortal);
