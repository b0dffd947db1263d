import type { Problem } from './api.ts'
import { ago, day, moment, t } from './format.ts'
import { html, nothing } from './lit.js'
import type { Token } from './store.ts'

/** Parts of a token's picture, alike in the list and in its details. */

const STATE_TEXTS = {
  active: () => t('stateActive'),
  expired: () => t('stateExpired'),
  revoked: () => t('stateRevoked'),
  damaged: () => t('stateDamaged'),
}

/** The state in words: colour alone says nothing. */
export const stateOf = ({ status, rotation }: Token) => html`
  <span class="state ${status}">${STATE_TEXTS[status]()}</span>
  ${rotation ? html`<span class="state rotating">${t('rotating')}</span>` : nothing}
`

/** Tokens that expire within so many days need a look. */
export const EXPIRING_DAYS = 14

const isNear = (at: string): boolean => Date.parse(at) < Date.now() + EXPIRING_DAYS * 86_400_000

export const expiryOf = ({ expires_at: at, status }: Token) =>
  at === null
    ? html`<span class="warning">${t('never')}</span>`
    : html`<time datetime=${at} title=${moment(at)}>${day(at)}</time
        ><span class="sub ${status === 'active' && isNear(at) ? 'warning' : ''}">${ago(at)}</span>`

export const lastUseOf = ({ last_accessed: at }: Token) =>
  at === null
    ? html`<span class="muted">${t('neverUsed')}</span>`
    : html`<time datetime=${at} title=${moment(at)}>${ago(at)}</time>`

export const trouble = (problem: Problem, again: () => void) => html`
  <div class="empty" role="alert">
    <h2>${problem.status === 0 || problem.status >= 500 ? t('unreachable') : t('failed')}</h2>
    <p>${problem.status === 0 || problem.status >= 500 ? t('failedHint') : problem.detail}</p>
    <button type="button" @click=${again}>${t('tryAgain')}</button>
  </div>
`
