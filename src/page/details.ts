import { follow, place } from './address.ts'
import { ask, type Problem, problemOf, tokenPath } from './api.ts'
import { blastRadius, forgetBlast, showBlast } from './blastRadius.ts'
import { openEdit } from './edit.ts'
import { facts } from './facts.ts'
import { t } from './format.ts'
import { forgetHistory, graceOf, historyOf, loadHistory, newestLeak } from './history.ts'
import { leakNotice } from './leak.ts'
import { html, nothing, type TemplateResult } from './lit.js'
import { stateOf, trouble } from './parts.ts'
import { openRevoke } from './revoke.ts'
import { openRotate, rotationNotice } from './rotation.ts'
import { redraw, session, type Token } from './store.ts'
import { focusRow, isOfAll, loadList, mayWrite, tokens } from './tokenList.ts'
import { forgetUsage, loadUsage, usage } from './usage.ts'

let token: Token | null = null
let problem: Problem | null = null
let turn = 0

/** Reads one token with all that is shown of it. */
export async function openDetails(id: string): Promise<void> {
  const mine = ++turn
  if (token?.id !== id) {
    token = tokens.rows.find((row) => row.id === id) ?? null
    forgetUsage()
    forgetHistory()
    forgetBlast()
  }
  problem = null
  redraw()
  try {
    const { body } = await ask<Token>(tokenPath(id, isOfAll()))
    if (mine !== turn) return
    token = body
    redraw()
    await Promise.all([loadUsage(id), loadHistory(id)])
    const leak = newestLeak()
    if (leak && mine === turn) showBlast(id, leak.at)
  } catch (error) {
    if (mine !== turn) return
    problem = problemOf(error)
    redraw()
  }
}

function reread(): void {
  if (place.token !== null) void openDetails(place.token)
}

function saved(now: Token | null): void {
  if (now === null) return reread()
  token = now
  redraw()
  void loadHistory(now.id)
}

function actions(shown: Token) {
  if (shown.status === 'revoked' || !session().can_write) return nothing
  const revoke = () => openRevoke(shown, isOfAll(), reread)
  return html`<div class="buttons">
    ${
      mayWrite()
        ? html`<button type="button" @click=${() => openEdit(shown, saved)}>${t('edit')}</button>
            <button type="button" @click=${() => openRotate(shown, reread)}>${t('rotate')}</button>`
        : nothing
    }
    <button type="button" class="danger" @click=${revoke}>${t('revoke')}</button>
  </div>`
}

/** Back to the list, with focus on the row of the token. */
function back(event: MouseEvent): void {
  const id = place.token ?? ''
  follow(event, { token: null })
  if (!event.defaultPrevented) return
  void loadList()
  requestAnimationFrame(() => focusRow(id))
}

const head = () =>
  html`<p class="crumb"><a href=${location.pathname} @click=${back}>← ${t('allTokens')}</a></p>`

export function details(): TemplateResult {
  if (problem)
    return html`${head()}${
      problem.status === 404
        ? html`<div class="empty"><h1>${t('tokenGone')}</h1></div>`
        : trouble(problem, reread)
    }`
  if (!token) return html`${head()}<p class="muted wait">${t('loading')}</p>`
  const shown = token
  return html`
    ${head()}
    <div class="heading">
      <h1 dir="auto">${shown.name}</h1>
      <span class="states">
        ${newestLeak() ? html`<span class="state leaked">${t('leaked')}</span>` : nothing} ${stateOf(shown)}
      </span>
      ${actions(shown)}
    </div>
    ${shown.description === null ? nothing : html`<p class="lead" dir="auto">${shown.description}</p>`}
    ${leakNotice(newestLeak())} ${rotationNotice(shown, shown.rotation && graceOf(shown.rotation.hint), mayWrite(), reread)}
    <section class="card">${facts(shown)}</section>
    ${usage(shown)} ${historyOf(shown)} ${blastRadius(shown)}
  `
}
