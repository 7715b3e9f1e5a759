#!/usr/bin/env bash
# Prints the C source of the table in assets.h: the pages, the chart library and its licence, and the
# shipped larder.yml, as arrays of bytes. Needs od and sed, no network.
#
#     dashboards/embed.sh > build/dashboards/assets.c
set -euo pipefail
cd "$(dirname "$0")/.."

uplot=dashboards/node_modules/uplot
files=(
    "/ dashboards/page/index.html"
    "/app.js dashboards/page/app.js"
    "/charts.js dashboards/page/charts.js"
    "/style.css dashboards/page/style.css"
    "/favicon.svg dashboards/page/favicon.svg"
    "/uplot.js $uplot/dist/uPlot.iife.min.js"
    "/uplot.css $uplot/dist/uPlot.min.css"
    "/uplot.LICENSE.txt $uplot/LICENSE"
    "larder.yml larder.yml"
)

type_of() {
    case "$1" in
    *.html) echo "text/html; charset=utf-8" ;;
    *.js) echo "text/javascript; charset=utf-8" ;;
    *.css) echo "text/css; charset=utf-8" ;;
    *.svg) echo "image/svg+xml" ;;
    *) echo "text/plain; charset=utf-8" ;;
    esac
}

for entry in "${files[@]}"; do
    if [ ! -f "${entry#* }" ]; then
        echo "dashboards/embed.sh: ${entry#* } is missing; \`make deps\` fetches the chart library" >&2
        exit 1
    fi
done

echo '/* Made by dashboards/embed.sh. */'
echo '#include "dashboards/assets.h"'
for i in "${!files[@]}"; do
    printf '\nstatic const unsigned char file_%d[] = {\n' "$i"
    od -An -v -tx1 "${files[$i]#* }" | sed 's/ \(..\)/0x\1,/g'
    printf '};\n'
done
printf '\nconst struct asset assets[] = {\n'
for i in "${!files[@]}"; do
    path=${files[$i]%% *} file=${files[$i]#* }
    printf '    {"%s", "%s", file_%d, sizeof file_%d},\n' "$path" "$(type_of "$file")" "$i" "$i"
done
printf '};\n\nconst size_t assets_n = sizeof assets / sizeof *assets;\n'
