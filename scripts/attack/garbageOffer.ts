import { apiOf } from '../../test/support/callers/api.ts'
import { cli } from '../../test/support/processes/cli.ts'
import { eventually } from '../../test/support/suite/eventually.ts'
import { copyOfFolder, DAMAGES, namesIn, rebuiltFile } from '../../test/support/stores/offers.ts'
import { type ServiceProcess, startService } from '../../test/support/processes/service.ts'
import { attack } from './lab.ts'

await attack('A rebuild leaves files that are not what it wrote', async ({ saw, control, bound }) => {
  const made = await rebuiltFile()
  const said = ({ output }: ServiceProcess) => output().split('g2.aside","').length - 1

  for (const vouch of ['as it was', 'as it is'] as const) {
    const folder = await copyOfFolder(made.folder)
    const service = await startService({}, folder)
    const api = apiOf(service.url)
    for (const [what, damage] of Object.entries(DAMAGES)) {
      await made.offer(folder, damage, vouch)
      const before = said(service)
      const isSetAside = await eventually(async () => {
        const left = (await namesIn(folder)).join()
        if (left !== 'read-model.db.g2.aside' || said(service) === before) throw new Error(`there is ${left}`)
        return true
      }).catch((error: unknown) => saw(`${what}: ${String(error)}`))
      const isUp = await api.create({ name: what }).then(
        ({ status }) => status === 201,
        () => false,
      )
      bound(`${what}, sealed ${vouch}: it is set aside and named`, isUp && isSetAside === true)
      if (!isUp) return
    }
    const { code } = await cli(['rebuild'], folder)
    control('a rebuild that is sound is taken over afterwards', code === 0)
    await service.stop()
  }

  for (const [what, damage] of Object.entries(DAMAGES).slice(0, 6)) {
    const folder = await copyOfFolder(made.folder)
    const service = await startService({}, folder)
    await made.leaveHalfFilled(folder, damage)
    const { code, stderr } = await cli(['rebuild'], folder)
    bound(`half-filled, ${what}: it is begun anew`, code === 0 && stderr.includes('.aside'))
    if (code !== 0) saw(stderr)
    await service.stop()
  }
})
