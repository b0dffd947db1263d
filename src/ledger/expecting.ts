import type { TokenIndex } from '../application/authentication/tokenIndex.ts'
import type { Manage } from '../application/tokens/manage.ts'

/** Commands whose new tokens the index knows of at once, so that they need not wait among those of strangers. */
export const expecting = ({ expect }: TokenIndex, { create, ...others }: Manage): Manage => ({
  ...others,
  async create(...input) {
    const created = await create(...input)
    if (created.secret !== null) expect(created.secret)
    return created
  },
})
