# On Windows: hands over to postprovision.sh in the bash that comes with Git for Windows, so that there is one script.
$ErrorActionPreference = 'Stop'
$git = Get-Command git -ErrorAction SilentlyContinue
$bash = if ($git) { Join-Path (Split-Path (Split-Path $git.Source)) 'bin\bash.exe' }
if (-not $bash -or -not (Test-Path $bash)) {
    Write-Error 'This needs Git for Windows (https://git-scm.com), for its bash; or run azd in WSL.'
    exit 1
}
# Otherwise it would take resource ids for paths and rewrite them.
$env:MSYS_NO_PATHCONV = '1'
& $bash ((Join-Path $PSScriptRoot 'postprovision.sh') -replace '\\', '/')
exit $LASTEXITCODE
