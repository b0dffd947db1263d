import { ask, problemOf } from './api.ts'
import { t } from './format.ts'
import { html, nothing } from './lit.js'
import { type Absence, redraw, type Session, shared } from './store.ts'

/** Who is logged in: by the link's code, which is taken out of the address at once, or by a session that is there. */
export async function enter(): Promise<void> {
  const [, code] = /^#code=([\w.-]+)$/.exec(location.hash) ?? []
  if (code === undefined) return readSession('none')
  history.replaceState(null, '', location.pathname + location.search)
  await exchange(code, false)
}

async function exchange(code: string, replace: boolean): Promise<void> {
  try {
    await ask('session', { method: 'POST', body: { code, replace } })
  } catch (error) {
    const problem = problemOf(error)
    if (problem.code === 'other_account') shared.phase = { kind: 'switching', code }
    else if (problem.code === 'portal_link_used') await readSession('used')
    else if (problem.code === 'portal_link_refused') await readSession('refused')
    else leave('failed')
    redraw()
    return
  }
  await readSession('failed')
}

async function readSession(otherwise: Absence): Promise<void> {
  try {
    const { body } = await ask<Session>('session')
    shared.phase = { kind: 'in', session: body }
    redraw()
  } catch (error) {
    leave(problemOf(error).status === 401 ? otherwise : 'failed')
  }
}

export function leave(why: Absence): void {
  if (shared.phase.kind === 'out') return
  shared.phase = { kind: 'out', why }
  document.querySelectorAll('dialog').forEach((dialog) => dialog.remove())
  redraw()
}

export async function signOut(): Promise<void> {
  await ask('session', { method: 'DELETE' }).catch(() => {})
  leave('signedOut')
}

let lastReturnUrl: string | null = null

/** Where people came from. It stays known when the session is over. */
export function returnUrl(): string | null {
  if (shared.phase.kind === 'in') lastReturnUrl = shared.phase.session.return_url
  const url = lastReturnUrl ?? shared.config.return_url
  return url !== null && /^(https?:\/\/|\/(?!\/))/.test(url) ? url : null
}

const WHY: Record<Absence, () => string> = {
  none: () => t('noSession'),
  over: () => t('sessionOver'),
  signedOut: () => t('signedOut'),
  refused: () => t('linkRefused'),
  used: () => t('linkUsed'),
  failed: () => t('unreachable'),
}

export const backLink = () => {
  const url = returnUrl()
  return url === null ? nothing : html`<a class="button" href=${url}>${t('back')}</a>`
}

export const outside = (why: Absence) => html`
  <main class="card narrow">
    <h1>${WHY[why]()}</h1>
    <p>${why === 'refused' || why === 'used' ? t('linkAgain') : t('noSessionHint')}</p>
    <p class="actions">
      ${why === 'failed' ? html`<a class="button primary" href=${location.pathname}>${t('tryAgain')}</a>` : nothing}
      ${backLink()}
    </p>
  </main>
`

export const switching = (code: string) => html`
  <main class="card narrow">
    <h1>${t('otherAccount')}</h1>
    <p>${t('otherAccountHint')}</p>
    <p class="actions">
      <button type="button" class="primary" @click=${() => void readSession('none')}>${t('stay')}</button>
      <button type="button" @click=${() => void exchange(code, true)}>${t('switchAccount')}</button>
    </p>
  </main>
`
