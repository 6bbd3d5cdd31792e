/** One accent colour, system fonts, shades that keep their contrast in both colour schemes. */
import { type CSSVariablesResolver, createTheme, type MantineColorsTuple } from '@mantine/core'

const petrol: MantineColorsTuple = [
  '#e8f5f7',
  '#d2eaee',
  '#a7d6dd',
  '#79c1cb',
  '#54b0bc',
  '#379fad',
  '#218d9c',
  '#127a88',
  '#0b6875',
  '#075561',
]

/** Mantine's greys of the dark scheme with the accent's hue in them. */
const dark: MantineColorsTuple = [
  '#dfe5ea',
  '#c3ccd4',
  '#a7b2bd',
  '#7f8c98',
  '#45515c',
  '#2b353e',
  '#232c34',
  '#1a2128',
  '#151b21',
  '#10151a',
]

export const theme = createTheme({
  colors: { petrol, dark },
  primaryColor: 'petrol',
  primaryShade: { light: 8, dark: 8 },
  autoContrast: true,
  luminanceThreshold: 0.25,
  cursorType: 'pointer',
  defaultRadius: 'sm',
  respectReducedMotion: true,
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif',
  fontFamilyMonospace: 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace',
  headings: { fontWeight: '650', sizes: { h1: { fontSize: '1.375rem' }, h2: { fontSize: '1.0625rem' } } },
})

/** Grounds and quiet text that fit app.css, with enough contrast for small letters. */
export const variables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    '--mantine-color-body': '#f6f8f9',
    '--mantine-color-text': '#14191e',
    '--mantine-color-default-border': '#c3ccd4',
    '--mantine-color-error': '#b42318',
    '--mantine-color-orange-light-color': '#8a3a00',
    '--mantine-color-placeholder': '#66717c',
    '--mantine-color-dimmed': '#4f5b67',
  },
  dark: {
    '--mantine-color-body': '#12171c',
    '--mantine-color-text': '#dfe5ea',
    '--mantine-color-error': '#ff8f85',
    '--mantine-color-petrol-light': '#16323a',
    '--mantine-color-petrol-light-hover': '#1b3d46',
    '--mantine-color-red-light': '#3d2023',
    '--mantine-color-orange-light': '#3b2814',
    '--mantine-color-red-light-hover': '#4a272a',
    '--mantine-color-default': '#1f272f',
    '--mantine-color-default-hover': '#28323b',
    '--mantine-color-default-border': '#45515c',
    '--mantine-color-placeholder': '#97a3ae',
    '--mantine-color-dimmed': '#a7b2bd',
  },
})
