import { onMove, place } from './address.ts'
import { listen } from './api.ts'
import { details, openDetails } from './details.ts'
import { t, useTexts } from './format.ts'
import { list } from './list.ts'
import { html, nothing, render, type TemplateResult } from './lit.js'
import { backLink, enter, enterOther, leave, onEnter, outside, signOut, switching } from './session.ts'
import { type Config, drawWith, redraw, type Session, shared } from './store.ts'
import { forgetList, loadList } from './tokenList.ts'

const root = document.getElementById('app') as HTMLElement
const CONFIG = new URL('config.json', import.meta.url)

const header = (session: Session | null) => html`
  <header>
    <p class="title">${shared.config.title}</p>
    ${
      session &&
      html`<div class="who">
        <span class="account" title=${t('account', { account: session.account_id })}>
          ${session.subject ?? session.account_id}
        </span>
        ${backLink()}
        ${
          session.expires_at === null
            ? nothing
            : html`<button type="button" class="quiet" @click=${() => void signOut()}>${t('signOut')}</button>`
        }
      </div>`
    }
  </header>
`

function content(): TemplateResult {
  const { phase } = shared
  switch (phase.kind) {
    case 'starting':
      return html`<main tabindex="-1"><p class="muted">${t('loading')}</p></main>`
    case 'out':
      return outside(phase)
    case 'switching':
      return switching(phase.code)
    case 'in':
      return html`<main id="tokens" tabindex="-1">${place.token === null ? list() : details()}</main>`
  }
}

/** What is wrong with the connection; it stays as long as that is so. */
function trouble(): string {
  if (!shared.isOnline) return t('offline')
  return shared.isRetrying ? t('retrying') : ''
}

const page = () => html`
  ${shared.phase.kind === 'in' ? html`<a class="skip" href="#tokens">${t('skip')}</a>` : nothing}
  ${header(shared.phase.kind === 'in' ? shared.phase.session : null)}
  <div class="trouble" role="status">${trouble()}</div>
  ${content()}
  <div class="notice" role="status">${shared.notice}</div>
`

/** Focus that goes away with what had it would begin again at the top of the page. */
function draw(): void {
  const wasInside = root.contains(document.activeElement)
  render(page(), root)
  if (wasInside && document.activeElement === document.body) root.querySelector('main')?.focus()
}

function load(): void {
  if (shared.phase.kind !== 'in') return
  if (place.token === null) void loadList()
  else void openDetails(place.token)
}

async function start(): Promise<void> {
  shared.config = (await (await fetch(CONFIG)).json()) as Config
  useTexts(shared.config.texts, shared.config.lang)
  drawWith(draw)
  redraw()
  listen(
    (isRetrying) => {
      shared.isRetrying = isRetrying
      redraw()
    },
    () => leave('over'),
    () => void enterOther(),
  )
  const online = () => {
    shared.isOnline = navigator.onLine
    redraw()
    if (shared.isOnline) load()
  }
  addEventListener('online', online)
  addEventListener('offline', online)
  addEventListener('resize', redraw)
  onMove(load)
  onEnter(() => {
    forgetList()
    load()
  })
  await enter()
}

void start()
