import { ask } from './api.ts'
import type { Dialog } from './dialog.ts'
import { ago, count, t } from './format.ts'
import { html, nothing, type TemplateResult } from './lit.js'
import type { Token } from './store.ts'

interface Check {
  refused: { ip: string; requests: number; last_at: string }[]
  accepted: number
  unknown: number
}

/** Without a list nobody is shut out. */
const ANYWHERE: Check = { refused: [], accepted: 0, unknown: 0 }
const answers = new WeakMap<Dialog, Check>()

/** Who of the last 30 days would be refused with these addresses. */
export function addressCheck(dialog: Dialog, token: Token, addresses: () => string[]): TemplateResult {
  const check = () =>
    dialog.work(async () => {
      const allowed = addresses()
      if (allowed.length === 0) {
        answers.set(dialog, ANYWHERE)
        return
      }
      const { body } = await ask<Check>(`tokens/${token.id}/allowed-ips/check`, {
        method: 'POST',
        body: { allowed_ips: allowed },
      })
      answers.set(dialog, body)
    })
  const answer = answers.get(dialog)
  return html`<div class="check-addresses">
    <button type="button" class="small" ?disabled=${dialog.isBusy()} @click=${() => void check()}>
      ${t('checkAddresses')}
    </button>
    <div role="status">${answer ? result(answer) : nothing}</div>
  </div>`
}

const result = ({ refused, unknown }: Check) => html`
  ${
    refused.length === 0
      ? html`<p class="good">${t('checkNobody')}</p>`
      : html`<p class="warning">${t('checkRefused')}</p>
          <ul class="plain">
            ${refused.map(
              ({ ip, requests, last_at: at }) =>
                html`<li><code>${ip}</code> · ${count('requests', requests)} · ${ago(at)}</li>`,
            )}
          </ul>`
  }
  ${unknown === 0 ? nothing : html`<p class="muted">${count('checkUnknown', unknown)}</p>`}
`
