import { moment, t } from './format.ts'
import { html, nothing, type TemplateResult } from './lit.js'
import { expiryOf, lastUseOf } from './parts.ts'
import type { Token } from './store.ts'
import { isOfAll } from './tokenList.ts'

const fact = (label: string, value: unknown) => html`<div><dt>${label}</dt><dd>${value}</dd></div>`
const time = (at: string | null) =>
  at === null ? t('never') : html`<time datetime=${at}>${moment(at)}</time>`
const codes = (list: readonly string[]) => list.map((one) => html`<code>${one}</code> `)

/** @param isThen is it shown as it was? Then nobody knows when it had last been used */
export const facts = (shown: Token, isThen = false): TemplateResult => html`
  <dl class="facts">
    ${isOfAll() ? fact(t('columnAccount'), html`<span dir="auto">${shown.account_id}</span>`) : nothing}
    ${fact(t('hint'), html`<code>${shown.hint}</code>`)}
    ${isThen ? nothing : fact(t('lastUse'), lastUseOf(shown))} ${fact(t('expires'), expiryOf(shown))}
    ${fact(t('scopes'), shown.scopes.length === 0 ? t('none') : codes(shown.scopes))}
    ${fact(t('addresses'), shown.allowed_ips === null ? t('anywhere') : codes(shown.allowed_ips))}
    ${fact(t('createdAt'), time(shown.created_at))}
    ${fact(t('madeBy'), html`<span dir="auto">${shown.created_by.id}</span>`)}
    ${shown.revoked_at === null ? nothing : fact(t('revokedAt'), time(shown.revoked_at))}
    ${
      Object.keys(shown.metadata).length === 0
        ? nothing
        : fact(
            t('metadata'),
            Object.entries(shown.metadata).map(
              ([name, value]) => html`<div dir="auto"><code>${name}</code> ${value}</div>`,
            ),
          )
    }
    ${fact(t('id'), html`<code>${shown.id}</code>`)}
  </dl>
`
