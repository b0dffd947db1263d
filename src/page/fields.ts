import { t } from './format.ts'
import { html, nothing, type TemplateResult } from './lit.js'

interface Field {
  id: string
  label: string
  hint?: string
  error?: string | null
  isOptional?: boolean
}

/** A label, its control, its hint, and what is wrong with it. */
export const field = ({ id, label, hint, error, isOptional }: Field, control: TemplateResult) => html`
  <div class="field">
    <label for=${id}>${label}${isOptional ? html` <span class="muted">(${t('optional')})</span>` : nothing}</label>
    ${control}
    ${hint ? html`<p class="hint" id="${id}-hint">${hint}</p>` : nothing}
    ${error ? html`<p class="error" id="${id}-error">${error}</p>` : nothing}
  </div>
`

/** For `aria-describedby`. */
export const describedBy = (id: string, hint: boolean, error: string | null): string | typeof nothing =>
  [hint ? `${id}-hint` : '', error ? `${id}-error` : ''].filter(Boolean).join(' ') || nothing

export const valueOf = (event: Event): string => (event.target as HTMLInputElement).value
