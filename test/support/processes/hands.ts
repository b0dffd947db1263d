import type { Locator, Page } from 'playwright-core'

/** How somebody works with a page: with a mouse, or with the keyboard alone. */
export interface Hand {
  press(on: Locator): Promise<void>
  check(on: Locator): Promise<void>
  fill(on: Locator, text: string): Promise<void>
  /** In a list to choose from, by the first letters of what is to be chosen. */
  choose(on: Locator, label: string): Promise<void>
}

export const mouse: Hand = {
  press: (on) => on.click(),
  check: (on) => on.check(),
  fill: async (on, text) => {
    await on.click()
    await on.page().keyboard.type(text)
  },
  choose: async (on, label) => void (await on.selectOption({ label })),
}

/** More elements than any state of the page has that can be focused. */
const MOST_TABS = 120

const isFocused = (on: Locator): Promise<boolean> =>
  on.evaluate(
    (element: { ownerDocument: { activeElement: unknown } }) =>
      element === element.ownerDocument.activeElement,
  )

/** @throws if Tab never comes there */
async function tabTo(on: Locator): Promise<Page['keyboard']> {
  await on.waitFor()
  const { keyboard } = on.page()
  for (let i = 0; i < MOST_TABS; i++) {
    if (await isFocused(on)) return keyboard
    await keyboard.press('Tab')
  }
  throw new Error(`the keyboard does not come to ${String(on)}`)
}

export const keyboard: Hand = {
  press: async (on) => (await tabTo(on)).press('Enter'),
  async check(on) {
    await on.waitFor()
    if ((await on.getAttribute('type')) !== 'radio') return (await tabTo(on)).press('Space')
    // Tab comes to the one that is chosen, and arrows lead from there to the others.
    const name = await on.getAttribute('name')
    const keys = await tabTo(on.page().locator(`input[name="${name}"]:checked`))
    for (let i = 0; i < 10 && !(await isFocused(on)); i++) await keys.press('ArrowDown')
  },
  fill: async (on, text) => (await tabTo(on)).type(text),
  choose: async (on, label) => (await tabTo(on)).type(label),
}
