import { ask, askFor, problemOf } from './api.ts'
import { t } from './format.ts'
import { html, nothing } from './lit.js'
import { type Absence, hush, redraw, say, type Session, shared } from './store.ts'

let entered = (): void => {}
/** @param listener is called when somebody is in, or somebody else */
export function onEnter(listener: () => void): void {
  entered = listener
}

/** Who is logged in: by the link's code, which is taken out of the address at once, or by a session that is there. */
export async function enter(): Promise<void> {
  const [, code] = /^#code=([\w.-]+)$/.exec(location.hash) ?? []
  if (code === undefined) return void (await readSession('none'))
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
    else if (problem.status === 401) await readSession('none')
    else leave('failed', () => exchange(code, replace))
    redraw()
    return
  }
  await readSession('failed')
}

/** @returns whether somebody is in */
async function readSession(otherwise: Absence): Promise<boolean> {
  try {
    const { body } = await ask<Session>('session')
    shared.phase = { kind: 'in', session: body }
    askFor(body.account_id)
    redraw()
    entered()
    return true
  } catch (error) {
    if (problemOf(error).status === 401) leave(otherwise)
    else leave('failed', async () => void (await readSession(otherwise)))
    return false
  }
}

/** @param again what may be tried once more */
export function leave(why: Absence, again: () => Promise<void> = enter): void {
  if (shared.phase.kind === 'out' && why === 'over') return
  shared.phase = { kind: 'out', why, again }
  hush()
  askFor(null)
  closeDialogs()
  redraw()
}

/** A secret that nobody has stored yet stays. */
const closeDialogs = () =>
  document.querySelectorAll('dialog:not([data-held])').forEach((dialog) => dialog.remove())

/** Another tab has logged in to another account, and what was asked for was refused. */
export async function enterOther(): Promise<void> {
  if (shared.phase.kind !== 'in') return
  closeDialogs()
  askFor(null)
  if (await readSession('over')) say(t('accountChanged'))
}

export async function signOut(): Promise<void> {
  try {
    await ask('session', { method: 'DELETE', isRepeatable: true })
    leave('signedOut')
  } catch {
    say(t('signOutFailed'))
  }
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

const HINT: Partial<Record<Absence, () => string>> = {
  refused: () => t('linkAgain'),
  used: () => t('linkAgain'),
  failed: () => t('failedHint'),
}

export const backLink = () => {
  const url = returnUrl()
  return url === null ? nothing : html`<a class="button" href=${url}>${t('back')}</a>`
}

export const outside = ({ why, again }: { why: Absence; again: () => Promise<void> }) => html`
  <main class="card narrow" tabindex="-1">
    <h1>${WHY[why]()}</h1>
    <p>${HINT[why]?.() ?? t(shared.config.opens_by_link ? 'noSessionHint' : 'logInHint')}</p>
    <p class="actions">
      ${
        why === 'failed'
          ? html`<button type="button" class="primary" @click=${() => void again()}>${t('tryAgain')}</button>`
          : nothing
      }
      ${backLink()}
    </p>
  </main>
`

export const switching = (code: string) => html`
  <main class="card narrow" tabindex="-1">
    <h1>${t('otherAccount')}</h1>
    <p>${t('otherAccountHint')}</p>
    <p class="actions">
      <button type="button" class="primary" @click=${() => void readSession('none')}>${t('stay')}</button>
      <button type="button" @click=${() => void exchange(code, true)}>${t('switchAccount')}</button>
    </p>
  </main>
`
